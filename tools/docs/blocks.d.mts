/** A fenced block of a page. */
export interface Block {
  /** Such as `ts`; an empty text if none is given. */
  readonly language: string;
  /** Its lines, the last one with a line break, too. */
  readonly code: string;
  /** The line of the page at which it begins. */
  readonly line: number;
  /** The heading under which it stands, with its `#`. */
  readonly heading: string;
}

/** The fenced blocks of a page, in their order. */
export function blocksOf(text: string): Block[];
