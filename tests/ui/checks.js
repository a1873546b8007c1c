// What an accessibility checker would say of the page as it is now: a list of sentences.
() => {
  const wrong = [];
  const seen = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest(".unseen, [inert]");

  for (const field of document.querySelectorAll("input, textarea, select")) {
    const named = field.labels?.length || field.ariaLabel || field.getAttribute("aria-labelledby");
    if (seen(field) && !named) wrong.push(`no label: ${field.outerHTML.slice(0, 80)}`);
  }
  for (const element of document.querySelectorAll("button, a[href], summary, [role=tab]")) {
    if (seen(element) && !(element.textContent.trim() || element.ariaLabel)) wrong.push(`no name: ${element.outerHTML.slice(0, 80)}`);
  }
  for (const image of document.querySelectorAll("img:not([alt])")) wrong.push(`no alt: ${image.src}`);
  for (const drawing of document.querySelectorAll("svg")) {
    const named = drawing.ariaHidden === "true" || drawing.ariaLabel || drawing.getAttribute("aria-labelledby");
    if (!named) wrong.push("an svg without a name");
  }

  const headings = [...document.querySelectorAll("h1, h2, h3, h4")].filter(seen).map((each) => Number(each.tagName[1]));
  if (headings.filter((level) => level === 1).length !== 1 || headings[0] !== 1) wrong.push(`headings: ${headings}`);
  headings.forEach((level, place) => {
    if (place && level > headings[place - 1] + 1) wrong.push(`a heading is skipped: ${headings}`);
  });
  for (const role of ["header", "nav", "main", "footer"]) {
    if (!document.querySelector(role)) wrong.push(`no landmark: ${role}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  if (new Set(ids).size !== ids.length) wrong.push("an id twice");
  for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      if (!document.getElementById(element.getAttribute(name))) wrong.push(`${name} points nowhere: ${element.getAttribute(name)}`);
    }
  }

  const parsed = (color) => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return color.startsWith("color(") ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
  };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(parsed(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let compared = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !seen(element) || element.closest("noscript, option, .skip")) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const text = over(parsed(element.closest("svg") ? style.fill : style.color), below);
    const [high, low] = [light(text), light(below)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    compared += 1;
    if (ratio < 4.5) wrong.push(`contrast ${ratio.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  if (compared < 10) wrong.push(`only ${compared} texts were compared`);
  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`wider than the window: ${document.documentElement.scrollWidth}`);
  return wrong;
}
