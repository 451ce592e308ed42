"""The project's side of Caffe beside the nets: devices, weight files, prototxt, its command."""
