"""Timers as this panel uses them."""

import qt


def timer(milliseconds, slot, singleShot=True):
    """A timer that calls slot(); without singleShot again and again, until it is stopped."""
    result = qt.QTimer()
    result.setInterval(milliseconds)
    result.setSingleShot(singleShot)
    result.connect("timeout()", slot)
    return result
