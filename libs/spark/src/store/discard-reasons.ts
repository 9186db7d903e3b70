import { BASELINE } from '../database/delivery-states.js';

/** The reason of held deliveries that a call of `discard` gave up. */
export const DISCARDED_HELD = 'discarded while held';
/** The reason of deliveries that were given up because the data of their event was erased. It replaces their errors, too. */
export const ERASED = 'erased';
/** The reasons of discarded deliveries that `retry` does not make available again. */
export const FINAL_REASONS = [BASELINE, DISCARDED_HELD, ERASED];
