//! A volume that fails on command.
