"""Code blocks, install lines and links of the README and the pages in docs, tried as they are printed."""
