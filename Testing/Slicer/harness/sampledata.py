"""`SampleData`: records what a module registers, and loads it from its file URI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import slicer


@dataclass(frozen=True)
class Source:
    """One registered data set."""

    category: str
    name: str
    uris: list[str]
    file_names: list[str]
    node_names: list[str]
    thumbnail: str


registered: dict[str, Source] = {}


class SampleDataLogic:
    """The part of it that modules call."""

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileType=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        sampleDescription=None,
    ):
        as_list = lambda value: list(value) if isinstance(value, (list, tuple)) else [value]  # noqa: E731
        uris, files, nodes = as_list(uris), as_list(fileNames), as_list(nodeNames)
        if not len(uris) == len(files) == len(nodes):
            raise ValueError(f"{sampleName}: {len(uris)} URIs, {len(files)} file names, {len(nodes)} node names.")
        registered[sampleName] = Source(category, sampleName, uris, files, nodes, thumbnailFileName or "")

    def downloadSamples(self, sampleName):
        """The nodes of a registered data set, loaded."""
        source = registered[sampleName]
        paths = [Path(url2pathname(urlparse(uri).path)) for uri in source.uris]
        return [
            slicer.util.loadVolume(str(path), {"name": name})
            for path, name in zip(paths, source.node_names, strict=True)
        ]

    downloadSample = lambda self, sampleName: self.downloadSamples(sampleName)[0]  # noqa: E731


def downloadSample(sampleName):
    """The first node of a registered data set, loaded."""
    return SampleDataLogic().downloadSample(sampleName)


def members() -> dict[str, object]:
    """What the module holds."""
    return {"SampleDataLogic": SampleDataLogic, "downloadSample": downloadSample}
