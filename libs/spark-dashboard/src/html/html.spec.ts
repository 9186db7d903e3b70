import { describe, expect, it } from 'vitest';
import { html } from './html.js';

describe('html', () => {
  it('escapes each value, in elements and in attributes', () => {
    const hostile = `"><script>alert('1')</script>&\``;
    expect(html`<a title="${hostile}">${hostile}</a>`.text).toBe(
      '<a title="&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&#96;">' +
        '&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&#96;</a>',
    );
  });

  it('takes in other templates and lists of them, and escapes the texts beside them', () => {
    const items = ['<1>', '<2>'].map((text) => html`<li>${text}</li>`);
    expect(html`<ul>${items}${'<3>'}</ul>`.text).toBe('<ul><li>&lt;1&gt;</li><li>&lt;2&gt;</li>&lt;3&gt;</ul>');
  });

  it('does not take an object for HTML because it looks like it', () => {
    const lookalike: unknown = { text: '<b>' };
    expect(html`${lookalike as never}`.text).not.toContain('<b>');
  });

  it('writes nothing for what is not there, and writes 0', () => {
    expect(html`[${undefined}${null}${false}${0}]`.text).toBe('[0]');
  });

  it('shows control characters and marks of direction, and keeps line breaks', () => {
    expect(html`${'a\u0000b\u202egpj.exe\nc\td'}`.text).toBe('a\\u0000b\\u202egpj.exe\nc\td');
  });
});
