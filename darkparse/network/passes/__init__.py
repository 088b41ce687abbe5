"""The passes of the compiler, one file each; `network/compiler.py` lists them in order."""
