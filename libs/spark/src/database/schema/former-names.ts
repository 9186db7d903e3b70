import type { TableNames } from '../table-names.js';

/** The table of rechecks as it was named up to version 2, as `TableNames` has it: plain, and escaped for SQL. */
export function agendaOf(names: TableNames): { readonly plain: string; readonly sql: string } {
  const former = (name: string) => name.replace(/recheck(?=\W?$)/, 'agenda');
  return { plain: former(names.plain.recheck), sql: former(names.recheck) };
}
