/** What stands for all values past the limit, as the conventions of OpenTelemetry have it. */
export const OTHER = '_OTHER';

/** How many groups metrics tell apart. An application that makes groups of ids must not flood what stores the metrics. */
export const MOST_GROUPS = 500;

/** Keeps the number of values of an attribute small: past a limit, new values become `_OTHER`. */
export class FewValues {
  private readonly known = new Set<string>();

  constructor(private readonly most: number) {}

  of(value: string): string {
    if (this.known.has(value)) return value;
    if (this.known.size >= this.most) return OTHER;
    this.known.add(value);
    return value;
  }
}
