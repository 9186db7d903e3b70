// Fails where a link of the documents leads nowhere: to a file or a heading that is not there.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { pages, ROOT } from './pages.mjs';

const LINK = /\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)/g;

/** What the headings of a page are called in links. */
function anchorsOf(page) {
  const text = readFileSync(page, 'utf8').replaceAll(/^```[^]*?^```$/gm, '');
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

let links = 0;
const dead = pages.flatMap((page) =>
  [...readFileSync(resolve(ROOT, page), 'utf8').matchAll(LINK)].flatMap(([, path, anchor]) => {
    links++;
    const target = path === '' ? resolve(ROOT, page) : resolve(ROOT, dirname(page), path);
    const isThere = existsSync(target) && (anchor === undefined || anchorsOf(target).includes(anchor));
    return isThere ? [] : [`${page}: ${path}${anchor === undefined ? '' : `#${anchor}`}`];
  }),
);
for (const link of dead) console.error(`leads nowhere: ${link}`);
console.log(`${links} links of ${pages.length} pages, ${dead.length} of which lead nowhere`);
process.exitCode = dead.length === 0 ? 0 : 1;
