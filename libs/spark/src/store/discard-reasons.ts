import { BASELINE } from '../database/delivery-states.js';

/** Why held deliveries were given up that somebody was asked about. */
export const DISCARDED_HELD = 'discarded while held';
/** Why deliveries were given up whose event has lost its data. It stands in place of their errors, too. */
export const ERASED = 'erased';
/** Why deliveries were given up that nobody tries again: `retry` leaves them alone. */
export const FINAL_REASONS = [BASELINE, DISCARDED_HELD, ERASED];
