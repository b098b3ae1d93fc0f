"""The screen: parse, call one command, render. The only floor that knows click and rich."""
