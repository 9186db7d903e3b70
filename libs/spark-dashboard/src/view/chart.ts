import { html, type Html } from '../html/html.js';
import type { Format } from './format.js';

/** A bar of a chart. */
export interface Bar {
  readonly at: Date;
  readonly value: number;
}

const WIDTH = 600;
const HEIGHT = 100;
const BASE = 120;
const GAP = 1;

/**
 * A chart of bars, one for each instant, under its title and its description. Screen readers read both; the numbers stand in a table beside
 * it.
 *
 * @param id Tells it from other charts of the page.
 * @param describe Says the largest value and the sum.
 */
export function barChart(
  format: Format,
  id: string,
  title: string,
  bars: readonly Bar[],
  describe: (most: string, sum: string) => string,
): Html {
  const most = Math.max(0, ...bars.map(({ value }) => value));
  const sum = bars.reduce((all, { value }) => all + value, 0);
  const description = describe(format.number(most), format.number(sum));
  const step = WIDTH / Math.max(1, bars.length);
  const drawn = bars.map(({ at, value }, i) => {
    // A small value is still to be seen.
    const height = value === 0 ? 0 : Math.max(2, (value / most) * HEIGHT);
    const x = rounded(i * step + GAP / 2);
    return html`<rect x="${x}" y="${rounded(BASE - 16 - height)}" width="${rounded(step - GAP)}" height="${rounded(height)}"><title>${hourOf(at)}: ${format.number(value)}</title></rect>`;
  });
  return html`<figure><figcaption><b>${title}</b> ${description}</figcaption>
  <svg class="chart" viewBox="0 0 ${WIDTH} ${BASE}" role="img" aria-labelledby="${id}-title ${id}-desc">
    <title id="${id}-title">${title}</title>
    <desc id="${id}-desc">${description}</desc>
    <line x1="0" y1="${BASE - 16}" x2="${WIDTH}" y2="${BASE - 16}"></line>
    ${drawn}
    <text x="0" y="${BASE - 2}">${bars[0] && hourOf(bars[0].at)}</text>
    <text x="${WIDTH}" y="${BASE - 2}" text-anchor="end">${bars.length > 0 && hourOf(bars.at(-1)!.at)} UTC</text>
  </svg></figure>`;
}

const rounded = (value: number): number => Math.round(value * 100) / 100;

export const hourOf = (at: Date): string => at.toISOString().slice(11, 16);
