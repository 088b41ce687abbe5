from darkparse.views.diagram import Diagram as Diagram
from darkparse.views.diagram import draw as draw
from darkparse.views.explanation import explain as explain
