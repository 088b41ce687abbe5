"""The diagram: from a network to what is shown, where it stands on the page, and the formats that it is written in."""
