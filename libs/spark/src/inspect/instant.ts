/** The instant of a column in epoch milliseconds; undefined for null. */
export const instant = (ms: string | number | null | undefined): Date | undefined =>
  ms === null || ms === undefined ? undefined : new Date(Number(ms));
