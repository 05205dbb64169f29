"""Qt properties of the stand-in widgets in one line each."""

from __future__ import annotations

from PySide6 import QtCore


def stored(kind: object, name: str, default: object, then=None, *, check=None) -> QtCore.Property:
    """A property that keeps what it is given, as `check(self, value)` returns it, and then calls `then(self)`."""

    def get(self):
        return self.__dict__.get(f"_{name}", default)

    def set_(self, value):
        self.__dict__[f"_{name}"] = check(self, value) if check else value
        if then:
            then(self)

    return QtCore.Property(kind, get, set_)


def forwarded(kind: object, child: str, name: str) -> QtCore.Property:
    """A property of the widget that `self.<child>` is; both are one."""

    def get(self):
        return getattr(getattr(self, child), name)

    def set_(self, value):
        setattr(getattr(self, child), name, value)

    return QtCore.Property(kind, get, set_)
