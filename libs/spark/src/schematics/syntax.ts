import ts from 'typescript';

export const parse = (text: string): ts.SourceFile => ts.createSourceFile('file.ts', text, ts.ScriptTarget.Latest);

/** Whether a text calls `forRoot` or `forRootAsync` of a module. Comments do not count. */
export function callsForRoot(text: string, module: string): boolean {
  const isCall = (node: ts.Node): boolean =>
    ts.isPropertyAccessExpression(node) &&
    ts.isIdentifier(node.expression) &&
    node.expression.text === module &&
    /^forRoot(?:Async)?$/.test(node.name.text);
  const visit = (node: ts.Node): boolean => isCall(node) || (ts.forEachChild(node, visit) ?? false);
  return text.includes(module) && visit(parse(text));
}

/** The text with an import of a name after its other imports. It stays as it is if it imports that name already. */
export function withImport(text: string, name: string, from: string): string {
  const imports = parse(text).statements.filter(ts.isImportDeclaration);
  if (imports.some((one) => importedNames(one).includes(name))) return text;
  const line = `import { ${name} } from '${from}';`;
  const lineEnd = text.includes('\r\n') ? '\r\n' : '\n';
  const last = imports.at(-1)?.getEnd();
  return last === undefined ? line + lineEnd + text : text.slice(0, last) + lineEnd + line + text.slice(last);
}

function importedNames({ importClause }: ts.ImportDeclaration): string[] {
  const bindings = importClause?.namedBindings;
  return bindings && ts.isNamedImports(bindings) ? bindings.elements.map(({ name }) => name.text) : [];
}

/** The names of the decorators of a class or a property. */
export function decoratorNames(node: ts.ClassDeclaration | ts.PropertyDeclaration): string[] {
  return (ts.getDecorators(node) ?? []).map(({ expression }) => {
    const called = ts.isCallExpression(expression) ? expression.expression : expression;
    if (ts.isIdentifier(called)) return called.text;
    return ts.isPropertyAccessExpression(called) ? called.name.text : '';
  });
}

/** Whether a name cannot be that of a variable. */
export function isReserved(name: string): boolean {
  const scanner = ts.createScanner(ts.ScriptTarget.Latest, true, ts.LanguageVariant.Standard, name);
  const kind = scanner.scan();
  const { FirstReservedWord, LastFutureReservedWord } = ts.SyntaxKind;
  return (kind >= FirstReservedWord && kind <= LastFutureReservedWord) || kind === ts.SyntaxKind.AwaitKeyword;
}
