"""Segment the kidney in 3D ultrasound by template deformation, with correction points that are always honoured."""
