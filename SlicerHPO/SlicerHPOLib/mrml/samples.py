"""The extension's sample volumes in Slicer's module Sample Data."""

from __future__ import annotations

from ..files import SAMPLES


def register_samples(category: str, folder: str) -> None:
    """Adds the volumes in a folder of `Resources/SampleData`, by their file names; call it when Slicer has started."""
    import SampleData  # a module of Slicer, which is there only then

    for path in sorted((SAMPLES / folder).glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=category, sampleName=name, uris=path.as_uri(), fileNames=path.name, nodeNames=name
        )
