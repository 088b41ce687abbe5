from .diagram.diagram import Diagram as Diagram
from .diagram.diagram import draw as draw
from .diagram.diagram import to_graphviz as to_graphviz
from .text.explanation import explain as explain
