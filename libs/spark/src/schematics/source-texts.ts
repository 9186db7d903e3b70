import { normalizeToKebabOrSnakeCase } from '@nestjs/schematics';
import type { EntityClass } from './entity-class.js';
import { isReserved } from './syntax.js';

export interface SourceNames {
  readonly className: string;
  /** The name of its file, without the extension. */
  readonly file: string;
  readonly isEsm: boolean;
  readonly entity: EntityClass;
  /** What the entity is imported from. */
  readonly from: string;
}

export function sourceText({ className, entity, from }: SourceNames): string {
  const { name } = entity;
  const { property, variable } = variableOf(name);
  const context = property === variable ? property : `${property}: ${variable}`;
  return `import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent, type SparkSource } from 'nestjs-spark';
import { ${name} } from '${from}';

/** Yields the events that are true of each ${name}. */
@EventSource(${name})
@Injectable()
export class ${className} implements SparkSource<${name}> {
  *events(${variable}: ${name}) {
    yield sparkEvent('${groupOf(name)}', ${idOf(entity, variable)}, { ${context} });
  }
}
`;
}

export function sourceSpecText({ className, file, isEsm, entity, from }: SourceNames): string {
  const { name, keys } = entity;
  const { variable } = variableOf(name);
  const group = groupOf(name);
  const values = keys.map((key, i) => `${key}: ${i + 1}`).join(', ');
  const id = keys.map((_, i) => i + 1).join(',');
  return `import { ${name} } from '${from}';
import { ${className} } from './${file}${isEsm ? '.js' : ''}';

describe('${className}', () => {
  const source = new ${className}();

  it('yields ${group}', () => {
    const ${variable} = Object.assign(new ${name}(), { ${values} });
    const keys = [...source.events(${variable})].map(({ key }) => key);
    expect(keys).toEqual(['${group}_${id}']);
  });
});
`;
}

/** `challenge_created` for `Challenge`. */
const groupOf = (entity: string): string => `${normalizeToKebabOrSnakeCase(entity).replaceAll('-', '_')}_created`;

function idOf({ keys }: EntityClass, variable: string): string {
  const parts = keys.map((key) => `${variable}.${key}`);
  return parts.length === 1 ? parts[0]! : `[${parts.join(', ')}]`;
}

/** What an entity is called in a context, and the variable for it. */
function variableOf(entity: string): { property: string; variable: string } {
  const property = entity.charAt(0).toLowerCase() + entity.slice(1);
  return { property, variable: isReserved(property) ? 'entity' : property };
}
