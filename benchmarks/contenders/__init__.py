"""Other ways to run an encoder, each in an environment of its own."""
