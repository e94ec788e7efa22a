"""Real servers for the tests, each on free ports of 127.0.0.1 and gone when its context ends."""
