"""unpack.py WHEEL FOLDER PREFIX...: unpacks the files of a wheel whose names start with a prefix.

Prints nothing. Fails on a damaged wheel: zipfile checks the checksum of each file that it reads.
"""

import os
import sys
import zipfile

wheel, folder, prefixes = sys.argv[1], sys.argv[2], tuple(sys.argv[3:])
with zipfile.ZipFile(wheel) as archive:
    for entry in archive.infolist():
        if entry.filename.startswith(prefixes) and not entry.is_dir():
            path = archive.extract(entry, folder)
            mode = (entry.external_attr >> 16) & 0o777
            if mode:
                os.chmod(path, mode | 0o200)
