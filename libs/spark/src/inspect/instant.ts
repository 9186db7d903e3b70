/** The instant that a row says in epoch ms, where it says one. */
export const instant = (ms: string | number | null | undefined): Date | undefined =>
  ms === null || ms === undefined ? undefined : new Date(Number(ms));
