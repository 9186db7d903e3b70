/** Parts of an address after its `?`. Parts without a value are left out. */
export type Parameters = Readonly<Record<string, string | number | undefined>>;

/** The relative address of a page, such as `events?group=paid`. All pages are side by side, so it works under every prefix. */
export function address(page: string, parameters: Parameters = {}): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== '');
  const search = new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)])).toString();
  return search === '' ? page : `${page}?${search}`;
}
