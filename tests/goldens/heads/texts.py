"""The words of the pipeline goldens: what the small tokenizers learn, and what is asked."""

from __future__ import annotations

CORPUS = (
    "The lighthouse at Port Ellen was built in 1832 by Walter Campbell, who "
    "named it after his wife.",
    "Every evening the keeper climbed the narrow stairs and lit the lamp before the boats came "
    "home.",
    "Anna Petersen moved from Copenhagen to Berlin, where she opened a small bakery near "
    "the river.",
    "Her bread was famous; people walked for an hour through the snow to buy a single loaf of rye.",
    "The train to Lisbon leaves at seven in the morning and arrives late, as trains often do.",
    "On Monday the council of Edinburgh voted to repair the old bridge over the Water of Leith.",
    "Engineers measured the stones, counted the cracks, and wrote a careful report of forty pages.",
    "Doctor Okafor asked the patient whether the pain was sharp or dull, and when it had started.",
    "In spring the farmers of Tuscany prune their vines; in autumn they press the grapes for wine.",
    "Nobody knows who painted the portrait that hangs in the library of Saint Andrews University.",
    "The children collected shells, bottles and strange pieces of wood along the beach at Malaga.",
    "When the storm was over, two hundred trees lay across the road between Oslo and Bergen.",
)

SENTENCES = (
    "Walter Campbell built the lighthouse at Port Ellen.",
    "Doctor Okafor's patients walked from Berlin to Köln; unbelievably, nobody complained!",
    "  In  Reykjavík snow fell  ",
)

PAIRS = (
    ("The bridge was repaired.", "Engineers measured the stones of the old bridge."),
    ("Anna opened a bakery near the river in Berlin.", "She bakes."),
)

QUESTIONS = ("Who built the lighthouse?", "Where did Anna Petersen move?")

LONG = " ".join(CORPUS[:6])
