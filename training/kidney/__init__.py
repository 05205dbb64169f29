"""Train, evaluate and deploy the kidney segmentation of 3D ultrasound (Bertrand 2019, chapter 4)."""
