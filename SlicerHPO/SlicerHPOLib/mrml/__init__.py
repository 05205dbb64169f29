"""Between Slicer's scene and the library: nodes to images, answers to nodes. Imports slicer, never Qt."""
