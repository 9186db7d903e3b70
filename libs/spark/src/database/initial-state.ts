/** The state in which deliveries are opened. `discarded` is for a baseline: no handler gets them. */
export type InitialState = 'available' | 'held' | 'discarded';

/** Why the deliveries of a baseline are discarded. */
export const BASELINE = 'baseline';
