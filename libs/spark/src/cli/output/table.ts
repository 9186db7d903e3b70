import { printable } from '../../error/text-of.js';
import { widthOf } from './safe-text.js';

/** What a cell of a table shows. Dates are shown in UTC; undefined is shown as nothing. */
export type Cell = string | number | boolean | Date | undefined;

/** A column of a table. */
export interface Column<R> {
  readonly head: string;
  readonly of: (record: R) => Cell;
}

const GAP = '  ';

/** A table for people: the heads, and a line for each record. Nothing in it can act on a terminal. */
export function tableOf<R>(columns: readonly Column<R>[], records: readonly R[], headed: (text: string) => string) {
  const rows = records.map((record) => columns.map(({ of }) => of(record)));
  const texts = rows.map((row) => row.map(textOfCell));
  const isNumeric = columns.map((_, i) => rows.every((row) => typeof row[i] === 'number'));
  const widths = columns.map(({ head }, i) => Math.max(widthOf(head), ...texts.map((row) => widthOf(row[i]!))));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => padded(cell, widths[i]!, isNumeric[i]!))
      .join(GAP)
      .trimEnd();
  return [headed(line(columns.map(({ head }) => head))), ...texts.map(line)];
}

/** Names and values below each other, for one record. Those without a value are left out. */
export function detailsOf(details: Readonly<Record<string, Cell>>): string[] {
  const given = Object.entries(details).filter(([, value]) => value !== undefined);
  const width = Math.max(...given.map(([name]) => name.length));
  return given.map(([name, value]) => `${name.padEnd(width)}${GAP}${textOfCell(value)}`.trimEnd());
}

/** A cell as printable text. */
export function textOfCell(cell: Cell): string {
  if (cell === undefined) return '';
  if (cell instanceof Date) return cell.toISOString().replace('.000Z', 'Z');
  return printable(String(cell));
}

/** The first line of a text, cut if it is long. */
export function firstLine(text: string | undefined, longest = 80): string | undefined {
  if (text === undefined) return undefined;
  const [line = ''] = text.split('\n', 1);
  return line.length > longest ? `${line.slice(0, longest - 1)}…` : line;
}

function padded(text: string, width: number, isNumeric: boolean): string {
  const blanks = ' '.repeat(Math.max(0, width - widthOf(text)));
  return isNumeric ? blanks + text : text + blanks;
}
