// Fails where a link of the documents leads nowhere: to a file or a heading that is not there.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const LINK = /\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)/g;
const inFolder = (folder) =>
  readdirSync(join(ROOT, folder)).flatMap((name) => (name.endsWith('.md') ? [join(ROOT, folder, name)] : []));

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

const pages = [...inFolder('.'), ...inFolder('docs')];
let links = 0;
const dead = pages.flatMap((page) =>
  [...readFileSync(page, 'utf8').matchAll(LINK)].flatMap(([, path, anchor]) => {
    links++;
    const target = path === '' ? page : resolve(dirname(page), path);
    const isThere = existsSync(target) && (anchor === undefined || anchorsOf(target).includes(anchor));
    return isThere ? [] : [`${relative(ROOT, page)}: ${path}${anchor === undefined ? '' : `#${anchor}`}`];
  }),
);
for (const link of dead) console.error(`leads nowhere: ${link}`);
console.log(`${links} links of ${pages.length} pages, ${dead.length} of which lead nowhere`);
process.exitCode = dead.length === 0 ? 0 : 1;
