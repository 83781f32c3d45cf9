"""Published traces of others -> arrivals, one small file a format; `formats.FORMATS` has them all."""
