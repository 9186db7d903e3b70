import type { TableNames } from '../table-names.js';

/** The name of the table of rechecks up to version 2, like in `TableNames`: plain, and escaped for SQL. */
export function agendaOf(names: TableNames): { readonly plain: string; readonly sql: string } {
  const former = (name: string) => name.replace(/recheck(?=\W?$)/, 'agenda');
  return { plain: former(names.plain.recheck), sql: former(names.recheck) };
}
