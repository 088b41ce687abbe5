from darkparse.views.diagram.diagram import Diagram as Diagram
from darkparse.views.diagram.diagram import draw as draw
from darkparse.views.diagram.diagram import to_graphviz as to_graphviz
from darkparse.views.text.explanation import explain as explain
