/** The state that deliveries are opened in. Discarded ones are those of a baseline: nobody is told of them. */
export type InitialState = 'available' | 'held' | 'discarded';

/** Why the deliveries of a baseline are discarded. */
export const BASELINE = 'baseline';
