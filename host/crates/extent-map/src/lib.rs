//! extent-map
