import { parser } from '@prometheus-io/lezer-promql';

/** A selector of series in a query, with the labels by which what encloses it groups. */
export interface Selector {
  readonly metric: string;
  /** Its matchers: the label, the operator and the value. */
  readonly matchers: { readonly label: string; readonly operator: string; readonly value: string }[];
  readonly by: string[];
}

type SyntaxNode = ReturnType<typeof parser.parse>['topNode'];

/** Reads the selectors of a PromQL query. Throws if the query is none. */
export function selectorsOf(query: string): Selector[] {
  const found: Selector[] = [];
  const text = ({ from, to }: SyntaxNode) => query.slice(from, to);
  const all = (node: SyntaxNode, name: string): SyntaxNode[] => {
    const own = node.name === name ? [node] : [];
    for (let child = node.firstChild; child; child = child.nextSibling) own.push(...all(child, name));
    return own;
  };
  const visit = (node: SyntaxNode, by: readonly string[]) => {
    if (node.type.isError) throw new SyntaxError(`${query} is no query, at ${node.from}`);
    if (node.name === 'VectorSelector') {
      const matchers = all(node, 'UnquotedLabelMatcher').map((matcher) => {
        const [label, operator, value] = [matcher.firstChild!, matcher.firstChild!.nextSibling!, matcher.lastChild!];
        return { label: text(label), operator: text(operator), value: JSON.parse(text(value)) as string };
      });
      found.push({ metric: text(node.getChild('Identifier')!), matchers, by: [...by] });
    }
    const modifier = node.name === 'AggregateExpr' ? node.getChild('AggregateModifier') : undefined;
    const labels = modifier ? all(modifier, 'LabelName').map(text) : [];
    for (let child = node.firstChild; child; child = child.nextSibling) visit(child, [...by, ...labels]);
  };
  visit(parser.parse(query).topNode, []);
  return found;
}
