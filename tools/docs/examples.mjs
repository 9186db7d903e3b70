import { copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { blocksOf } from './blocks.mjs';

const OF_APPLICATION = /from '\.\/([\w.-]+)\.js'/g;

export function writeExamples(folder, text, prefix) {
  const application = join(folder, 'application.ts');
  if (!existsSync(application)) copyFileSync(join(import.meta.dirname, 'application.ts'), application);
  return blocksOf(text).flatMap((block, i, { [i + 1]: next }) => {
    if (block.language !== 'ts') return [];
    const file = join(folder, `${prefix}-${i}.ts`);
    writeFileSync(file, `${block.code}\nexport {};\n`);
    for (const [, module] of block.code.matchAll(OF_APPLICATION))
      writeFileSync(join(folder, `${module}.ts`), `export * from './application.js';\n`);
    const output = next?.language === '' && next.heading === block.heading ? next.code.trimEnd().split('\n') : [];
    return [{ ...block, file, output }];
  });
}
