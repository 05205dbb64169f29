"""`slicer.app.coreIOManager()`: reads and writes the files that our modules touch, by the real storage nodes."""

from __future__ import annotations

from pathlib import Path

import slicer

_KINDS = {
    "VolumeFile": (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"),
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr"),
    "MarkupsFile": (".mrk.json", ".fcsv"),
    "TableFile": (".csv", ".tsv"),
    "SceneFile": (".mrml", ".mrb"),
}
_NODES = {
    "SegmentationFile": "vtkMRMLSegmentationNode",
    "MarkupsFile": "vtkMRMLMarkupsFiducialNode",
    "TableFile": "vtkMRMLTableNode",
}


class CoreIOManager:
    """qSlicerCoreIOManager."""

    def fileType(self, filename):
        """The kind of reader for a file name; RuntimeError for a kind that the stand-in does not read."""
        lower = str(filename).lower()
        found = [(len(end), kind) for kind, ends in _KINDS.items() for end in ends if lower.endswith(end)]
        if not found:
            raise RuntimeError(f"The stand-in has no reader for {filename}.")
        return max(found)[1]

    def loadNodes(self, kind, properties, loaded, _messages=None):
        """Adds the nodes of the file to the scene and to the collection `loaded`; whether that was possible."""
        path = Path(properties["fileName"])
        name = properties.get("name") or path.name.split(".")[0]
        if not path.exists():
            return False
        if kind == "SceneFile":
            slicer.mrmlScene.SetURL(str(path))
            return bool(slicer.mrmlScene.Connect())
        if kind == "VolumeFile":
            options = 1 if properties.get("labelmap") else 0
            node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), name, options)
        else:
            node = slicer.mrmlScene.AddNewNodeByClass(_NODES[kind], name)
            storage = node.CreateDefaultStorageNode()
            storage.SetFileName(str(path))
            if not storage.ReadData(node):
                slicer.mrmlScene.RemoveNode(node)
                node = None
        if node is None:
            return False
        loaded.AddItem(node)
        return True

    def fileWriterFileType(self, node):
        return node.GetClassName()

    def saveNodes(self, kind, properties, _messages=None):
        """Writes a node, or the scene into a folder (`kind` "SceneFile"); whether that was possible."""
        path = Path(properties["fileName"])
        if kind == "SceneFile":
            if path.suffix == ".mrml":
                slicer.mrmlScene.SetURL(str(path))
                return bool(slicer.mrmlScene.Commit())
            if path.suffix == ".mrb":
                raise RuntimeError("The stand-in writes no .mrb file; save the scene to a folder.")
            path.mkdir(parents=True, exist_ok=True)
            return bool(slicer.mrmlScene.SaveSceneToSlicerDataBundleDirectory(str(path)))
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        storage = node.CreateDefaultStorageNode()
        storage.SetFileName(str(path))
        return bool(storage.WriteData(node))
