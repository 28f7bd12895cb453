//! The table of a disk's segments, and a bounded cache of open ones.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    DiskError, DiskNo, ReadMode, SegmentInfo, Seq,
    queue::Owner,
    segment::{
        HeaderState, LOG_DIR, SEGMENT_HEADER_BYTES, SegmentHeader, parse_segment_name, segment_path,
    },
    volume::{Volume, VolumeFile, refusal},
};

/// Open segment files kept per disk.
const MAX_HANDLES: usize = 256;

/// Which segments there are, how much of each is written, and who has them open.
#[derive(Debug)]
pub(super) struct Segments {
    volume: Arc<dyn Volume>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    known: BTreeMap<u32, Known>,
    /// The segment that was written last since the disk was opened.
    active: Option<u32>,
    handles: HashMap<u32, Handle>,
    /// Counts uses, to find the handle that was not used for longest.
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    bytes: u64,
    opened_at: Seq,
}

#[derive(Debug)]
struct Handle {
    file: Arc<dyn VolumeFile>,
    used: u64,
}

impl Segments {
    /// Lists the log directory and reads each header.
    ///
    /// # Errors
    /// [`DiskError::Io`], also for a segment of a later format or of another disk.
    pub(super) fn open(volume: Arc<dyn Volume>, owner: &Owner) -> Result<Self, DiskError> {
        let mut table = Table::default();
        for entry in volume.list(LOG_DIR)? {
            if let Some(number) = parse_segment_name(&entry.name) {
                table
                    .known
                    .insert(number, inspect(&*volume, number, owner)?);
            }
        }
        Ok(Self {
            volume,
            table: Mutex::new(table),
        })
    }

    pub(super) fn last(&self) -> Option<u32> {
        self.table
            .lock()
            .known
            .last_key_value()
            .map(|(number, _)| *number)
    }

    pub(super) fn list(&self) -> Vec<SegmentInfo> {
        let table = self.table.lock();
        let info = |(&number, known): (&u32, &Known)| SegmentInfo {
            number,
            bytes: known.bytes,
            opened_at: known.opened_at,
            active: table.active == Some(number),
        };
        table.known.iter().map(info).collect()
    }

    /// Bytes of a segment that are written (and synced, if it is the active one).
    pub(super) fn written_bytes(&self, segment: u32) -> Result<u64, DiskError> {
        self.table
            .lock()
            .known
            .get(&segment)
            .map(|known| known.bytes)
            .ok_or(DiskError::NotFound)
    }

    pub(super) fn is_active(&self, segment: u32) -> bool {
        self.table.lock().active == Some(segment)
    }

    /// Tells that the active segment is durable up to `bytes`.
    pub(super) fn advance(&self, segment: u32, bytes: u64, opened_at: Seq) {
        let mut table = self.table.lock();
        table.active = Some(segment);
        table.known.insert(segment, Known { bytes, opened_at });
    }

    pub(super) fn file(&self, segment: u32) -> Result<Arc<dyn VolumeFile>, DiskError> {
        if let Some(file) = self.table.lock().cached(segment) {
            return Ok(file);
        }
        let file = self.volume.open(&segment_path(segment))?;
        let mut table = self.table.lock();
        // Removed while it was being opened: a cached handle would outlive the segment for nothing.
        if !table.known.contains_key(&segment) {
            return Err(DiskError::NotFound);
        }
        table.keep(segment, Arc::clone(&file));
        Ok(file)
    }

    pub(super) fn forget(&self, segment: u32) {
        let mut table = self.table.lock();
        table.known.remove(&segment);
        table.handles.remove(&segment);
    }
}

impl Table {
    fn cached(&mut self, segment: u32) -> Option<Arc<dyn VolumeFile>> {
        self.uses += 1;
        let handle = self.handles.get_mut(&segment)?;
        handle.used = self.uses;
        Some(Arc::clone(&handle.file))
    }

    fn keep(&mut self, segment: u32, file: Arc<dyn VolumeFile>) {
        if self.handles.len() >= MAX_HANDLES {
            let oldest = self.handles.iter().min_by_key(|(_, handle)| handle.used);
            if let Some(oldest) = oldest.map(|(number, _)| *number) {
                self.handles.remove(&oldest);
            }
        }
        self.uses += 1;
        self.handles.insert(
            segment,
            Handle {
                file,
                used: self.uses,
            },
        );
    }
}

/// The first format among a volume's segments that is later than what this code reads, with its file. Writes nothing; whatever
/// else is wrong with the segments is for [`Segments::open`] to say.
/// Whether the volume has any segment; also where that can't be told.
pub(super) fn are_there(volume: &dyn Volume) -> bool {
    match volume.list(LOG_DIR) {
        Ok(entries) => entries
            .iter()
            .any(|entry| parse_segment_name(&entry.name).is_some()),
        Err(error) => error != DiskError::NotFound,
    }
}

pub(super) fn newer_format(volume: &dyn Volume) -> Option<(String, u64)> {
    let entries = volume.list(LOG_DIR).ok()?;
    let mut numbers = entries
        .iter()
        .filter_map(|entry| parse_segment_name(&entry.name));
    numbers.find_map(|number| {
        let path = segment_path(number);
        let mut header = [0; SEGMENT_HEADER_BYTES as usize];
        let file = volume.open(&path).ok()?;
        file.read_at(&mut header, 0, ReadMode::MayBlock).ok()?;
        match SegmentHeader::decode(&header) {
            HeaderState::Newer(format) => Some((path, u64::from(format))),
            HeaderState::Good(_) | HeaderState::Damaged => None,
        }
    })
}

fn inspect(volume: &dyn Volume, number: u32, owner: &Owner) -> Result<Known, DiskError> {
    let path = segment_path(number);
    let file = volume.open(&path)?;
    let bytes = file.len_bytes()?;
    let mut header = [0; SEGMENT_HEADER_BYTES as usize];
    file.read_at(&mut header, 0, ReadMode::MayBlock)?;
    let opened_at = match SegmentHeader::decode(&header) {
        HeaderState::Good(header) if header_is_ours(&header, number, owner) => header.opened_at,
        HeaderState::Good(header) => {
            return Err(refusal("open", &path, foreign(&header, number, owner)));
        }
        HeaderState::Newer(format) => {
            let message =
                format!("segment format {format} is later than this version of Larder reads");
            return Err(refusal("open", &path, message));
        }
        HeaderState::Damaged => Seq::default(),
    };
    Ok(Known { bytes, opened_at })
}

fn header_is_ours(header: &SegmentHeader, number: u32, owner: &Owner) -> bool {
    header.segment == number && header.cluster == owner.cluster && header.disk == owner.number
}

fn foreign(header: &SegmentHeader, number: u32, owner: &Owner) -> String {
    let DiskNo(disk) = header.disk;
    format!(
        "this is segment {} of disk {disk} of cluster {:032x}, expected segment {number} of disk {} of cluster {:032x}",
        header.segment, header.cluster, owner.number.0, owner.cluster
    )
}
