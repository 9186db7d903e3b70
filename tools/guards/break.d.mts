import type { Plugin } from 'vite';

/** A plugin of Vite that takes out the guard that the variable SPARK_BROKEN names; none where it names none. */
export function broken(): Plugin[];
