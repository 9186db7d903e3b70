import { posix } from 'node:path';
import type { Rule, Tree } from '@angular-devkit/schematics';
import { generateClass, type Logger } from './generate-class.js';
import { handlerSpecText, handlerText } from './handler-texts.js';
import type { ClassOptions } from './place.js';

/** `nest g -c nestjs-spark handler challenge-ended`: a handler of the group `challenge_ended`. */
export function handler(options: ClassOptions): Rule {
  return generateClass('handler', options, (tree, { name, className, file, isEsm }, logger) => {
    if (options.spec !== false) tellDriver(tree, logger);
    const names = {
      className,
      file: posix.basename(file),
      isEsm,
      group: name.replaceAll('-', '_'),
      handler: name.replaceAll('_', '-'),
    };
    return { text: handlerText(names), spec: handlerSpecText(names) };
  });
}

function tellDriver(tree: Tree, logger: Logger): void {
  if (tree.read('/package.json')?.includes('"better-sqlite3"')) return;
  logger.info(
    'The spec uses SQLite: npm i -D better-sqlite3. For Node.js 24.19 or later, see node_modules/nestjs-spark/docs/databases.md.',
  );
}
