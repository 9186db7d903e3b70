import axe, { type AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/**
 * What axe finds wrong with a page: the rule, where, and why. The page must allow scripts of others (`bypassCSP`).
 *
 * @param rules The tags of its rules, or their names.
 */
export async function flawsOf(page: Page, rules = TAGS): Promise<string[]> {
  await page.evaluate(`globalThis.axe || (() => { ${axe.source} })()`);
  const options = JSON.stringify({ runOnly: rules, resultTypes: ['violations'], preload: false });
  const { violations } = await page.evaluate<AxeResults>(`axe.run(document, ${options})`);
  return violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.target.join()}: ${node.failureSummary}`),
  );
}
