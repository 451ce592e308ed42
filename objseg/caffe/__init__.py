"""What the project asks of Caffe beside its nets: devices, weight files, prototxt, its command."""
