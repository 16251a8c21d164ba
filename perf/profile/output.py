# SPDX-License-Identifier: ISC
"""What a run and a diff leave behind: four files a kind, a page that leads to them, and a record for later diffs."""
import html
import json

import page
import pprof
import svg
from profile import Column, Profile, fold
from tree import amount, grow

RECORD = 'profile.json'
STYLE = ('body{max-width:900px;margin:30px auto;padding:0 18px;font:15px/1.5 "DejaVu Sans",system-ui,sans-serif;'
         'background:#fffdf9;color:#211a14}a{color:#a5480f}td,th{text-align:left;padding:4px 18px 4px 0}'
         '@media(prefers-color-scheme:dark){body{background:#1d1a18;color:#f3ede6}a{color:#f0a060}}')
FORMS = [('html', 'interactive'), ('svg', 'SVG'), ('folded', 'folded stacks'), ('pb.gz', 'pprof')]


def what_of(profile):
    column = profile.columns[profile.shown]
    if column.unit == 'count':
        return f'{profile.total():,} {column.name}'
    return f'{amount(profile.total(), column.unit)} ({column.name}, {column.unit})'


def unit_name(column):
    """What numbers count, to be read behind one."""
    return column.name if column.unit == 'count' else column.unit


def write_pictures(out, name, root, title, subtitle, column, notes, is_diff):
    (out / f'{name}.svg').write_text(svg.render(root, title, subtitle, column.unit, is_diff))
    (out / f'{name}.html').write_text(page.render(root, title, subtitle, unit_name(column), notes, is_diff))


def write_profile(out, profile, about, label):
    about = profile.about or about
    title = f'{profile.title}: {about}'
    subtitle = f'{what_of(profile)} · {label}'
    (out / f'{profile.kind}.folded').write_text(fold(profile))
    pprof.write(out / f'{profile.kind}.pb.gz', profile, about)
    column = profile.columns[profile.shown]
    write_pictures(out, profile.kind, grow(profile.shown_stacks()), title, subtitle, column, profile.notes, False)


def write_index(out, title, subtitle, written, skipped):
    rows = []
    for name, what in written.items():
        links = ' · '.join(f'<a href="{name}.{end}">{text}</a>' for end, text in FORMS)
        rows.append(f'<tr><th>{name}</th><td>{html.escape(what)}</td><td>{links}</td></tr>')
    rows += [f'<tr><th>{name}</th><td colspan="2">skipped: {html.escape(why)}</td></tr>' for name, why in skipped.items()]
    (out / 'index.html').write_text(
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f'<title>{html.escape(title)}</title><style>{STYLE}</style><h1>{html.escape(title)}</h1>'
        f'<p>{html.escape(subtitle)}</p><table>{"".join(rows)}</table></html>\n')


def write_record(out, about, label, profiles, skipped):
    record = {'about': about, 'label': label, 'skipped': skipped, 'kinds': {
        p.kind: {'title': p.title, 'column': p.columns[p.shown].name, 'unit': p.unit, 'total': p.total()}
        for p in profiles}}
    (out / RECORD).write_text(json.dumps(record, indent=2) + '\n')


# ---- Differences ----

def write_diff(out, kind, before, after, about):
    """Two {stack: number} of a kind, `about` a (title, subtitle, Column). The older is scaled to the newer's total."""
    title, subtitle, column = about
    sums = sum(before.values()), sum(after.values())
    scale = sums[1] / sums[0] if sums[0] and sums[1] else 1
    profile = Profile(kind, title, [Column('before', column.unit), Column('after', column.unit),
                                    Column('change', column.unit)], shown=1)
    lines = []
    for frames in sorted(before.keys() | after.keys()):
        old, new = before.get(frames, 0), after.get(frames, 0)
        profile.add(frames, [round(old * scale), new, new - round(old * scale)])
        lines.append(f'{";".join(frames)} {old} {new}\n')
    notes = [f'before: {sums[0]:,}, after: {sums[1]:,} {unit_name(column)}; what was before is scaled by {scale:.4g}']
    profile.notes = notes
    (out / f'{kind}.folded').write_text(''.join(lines))
    pprof.write(out / f'{kind}.pb.gz', profile, title)
    write_pictures(out, kind, grow(after, before), title, subtitle, column, notes, True)
