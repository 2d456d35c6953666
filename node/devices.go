package node

import "github.com/cairnchain/cairn/storage"

// Devices make other devices from those of a home. They close in the place of what they were made from. A nil function
// changes nothing.
type Devices struct {
	Database func(storage.KV) storage.KV
	Safety   func(storage.Files) storage.Files // called before Database
}

func (d Devices) database(kv storage.KV) storage.KV {
	if d.Database == nil {
		return kv
	}
	return d.Database(kv)
}

func (d Devices) safety(files storage.Files) storage.Files {
	if d.Safety == nil {
		return files
	}
	return d.Safety(files)
}
