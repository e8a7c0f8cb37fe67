package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"regexp"
	"strconv"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Chart is horizontal bars in groups.
type Chart struct {
	File  string `json:"file"`
	Title string `json:"title"`
	Axis  string `json:"axis"` // what the bars mean, with the unit
	Rows  []Row  `json:"rows"` // from top to bottom
	// Legend names the colours, in order.
	Legend []Entry `json:"legend"`
	// Mark is a value at which a line is drawn; 0: none.
	Mark     float64 `json:"mark"`
	MarkText string  `json:"mark_text"`
	// Limit is the greatest value that is drawn; longer bars are cut off there, and
	// their number says so. 0: none.
	Limit float64 `json:"limit"`
	// Format of the numbers beside the bars, as in fmt; empty: none are written.
	Format string `json:"format"`
}

// Row is one or more bars under one label.
type Row struct {
	Label string `json:"label"`
	Bars  []Bar  `json:"bars"`
}

// Bar is one bar, of one or more parts one after the other.
type Bar struct {
	Parts []Part `json:"parts"`
	// Low and High are drawn as a line across the end; both 0: none.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Part of a bar; its colour is a number sign and six hexadecimal digits.
type Part struct {
	Value float64 `json:"value"`
	Color string  `json:"color"`
}

// Entry of the legend.
type Entry struct {
	Text  string `json:"text"`
	Color string `json:"color"`
}

const (
	width     = 22 * vg.Centimeter
	barHeight = 15 // points
	rowGap    = 11 // points between groups
	margin    = 14 // points
)

var (
	ink  = color.RGBA{0x1f, 0x23, 0x28, 0xff}
	pale = color.RGBA{0xd8, 0xde, 0xe4, 0xff}
	back = color.RGBA{0xff, 0xff, 0xff, 0xff}
)

// Draw returns the chart as SVG.
func (c Chart) Draw() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	p := plot.New()
	c.style(p)
	p.Add(&bars{c})
	p.X.Min, p.X.Max = 0, c.limit()
	// One unit of the vertical axis is one point.
	p.Y.Min, p.Y.Max = 0, c.height()
	var ticks []plot.Tick
	for i, row := range c.Rows {
		top, bottom := c.extent(i)
		ticks = append(ticks, plot.Tick{Value: (top + bottom) / 2, Label: row.Label})
	}
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.X.Tick.Marker = plot.ConstantTicks(round(p.X.Max))

	height := vg.Length(c.height()) + c.frame()
	canvas := vgsvg.New(width, height)
	whole := draw.New(canvas)
	panel(whole)
	inner := draw.Crop(whole, margin, -margin, margin, -margin)
	inner = c.legend(inner)
	p.Draw(inner)
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	return portable(out.Bytes()), nil
}

func (c Chart) check() error {
	if len(c.Rows) == 0 {
		return fmt.Errorf("no rows")
	}
	for _, row := range c.Rows {
		for _, bar := range row.Bars {
			for _, part := range bar.Parts {
				if math.IsNaN(part.Value) || math.IsInf(part.Value, 0) || part.Value < 0 {
					return fmt.Errorf("%s: %v cannot be drawn", row.Label, part.Value)
				}
				if _, err := parseColor(part.Color); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// style sets fonts, colours and lines.
func (c Chart) style(p *plot.Plot) {
	p.BackgroundColor = nil // the panel is there
	p.X.Label.Text = c.Axis
	p.X.Label.TextStyle = sans(11)
	p.X.Label.TextStyle.XAlign, p.X.Label.TextStyle.YAlign = draw.XCenter, draw.YTop
	p.X.Padding = 0
	p.X.Tick.Label = sans(10)
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XCenter, draw.YTop
	p.X.LineStyle.Color, p.X.Tick.LineStyle.Color = pale, pale
	p.Y.Tick.Label = sans(11)
	p.Y.Tick.Label.XAlign, p.Y.Tick.Label.YAlign = draw.XRight, draw.YCenter
	p.Y.Tick.Length = 0
	p.Y.LineStyle.Color = ink
	p.Y.Padding = 0
}

// sans is text of a size in points.
func sans(size float64) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: font.Length(size)}
	return text.Style{Color: ink, Font: f, Handler: plot.DefaultTextHandler}
}

// frame is the height of all but the bars.
func (c Chart) frame() vg.Length {
	const axis, title, legend = 44, 26, 18
	h := vg.Length(2*margin + axis + title)
	if len(c.Legend) > 0 {
		h += legend
	}
	return h
}

func (c Chart) height() float64 {
	h := float64(rowGap)
	for _, row := range c.Rows {
		h += float64(len(row.Bars)*barHeight) + rowGap
	}
	return h
}

// extent is where a row's bars begin and end, from above.
func (c Chart) extent(row int) (top, bottom float64) {
	top = c.height() - rowGap
	for _, r := range c.Rows[:row] {
		top -= float64(len(r.Bars)*barHeight) + rowGap
	}
	return top, top - float64(len(c.Rows[row].Bars)*barHeight)
}

// limit is where the horizontal axis ends: there must be room for numbers.
func (c Chart) limit() float64 {
	most := c.Mark
	for _, row := range c.Rows {
		for _, bar := range row.Bars {
			most = max(most, bar.total(), bar.High)
		}
	}
	if most == 0 {
		most = 1
	}
	if c.Limit > 0 {
		most = min(most, c.Limit)
	}
	return most * 1.12
}

// round returns marks at round numbers from 0 to the end of an axis: every 1, 2 or 5 times
// a power of ten, so that there are four to ten.
func round(end float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10(end)))
	switch {
	case end/step < 2:
		step /= 5
	case end/step < 4:
		step /= 2
	}
	var ticks []plot.Tick
	for i := 0; float64(i)*step <= end*(1+1e-9); i++ {
		// Only the digits that the step has.
		at, _ := strconv.ParseFloat(strconv.FormatFloat(float64(i)*step, 'g', 6, 64), 64)
		ticks = append(ticks, plot.Tick{Value: at, Label: strconv.FormatFloat(at, 'f', -1, 64)})
	}
	return ticks
}

func (b Bar) total() float64 {
	sum := 0.0
	for _, p := range b.Parts {
		sum += p.Value
	}
	return sum
}

// panel is a light ground with round corners, which is readable on dark pages.
func panel(c draw.Canvas) {
	const r = 8
	lo, hi := c.Min, c.Max
	var p vg.Path
	p.Move(vg.Point{X: lo.X + r, Y: lo.Y})
	p.Line(vg.Point{X: hi.X - r, Y: lo.Y})
	p.Arc(vg.Point{X: hi.X - r, Y: lo.Y + r}, r, -math.Pi/2, math.Pi/2)
	p.Line(vg.Point{X: hi.X, Y: hi.Y - r})
	p.Arc(vg.Point{X: hi.X - r, Y: hi.Y - r}, r, 0, math.Pi/2)
	p.Line(vg.Point{X: lo.X + r, Y: hi.Y})
	p.Arc(vg.Point{X: lo.X + r, Y: hi.Y - r}, r, math.Pi/2, math.Pi/2)
	p.Line(vg.Point{X: lo.X, Y: lo.Y + r})
	p.Arc(vg.Point{X: lo.X + r, Y: lo.Y + r}, r, math.Pi, math.Pi/2)
	p.Close()
	c.SetColor(back)
	c.Fill(p)
}

// legend writes the title and the legend, and returns what is left.
func (c Chart) legend(area draw.Canvas) draw.Canvas {
	style := sans(14)
	style.Font.Weight, style.YAlign = xfont.WeightBold, draw.YTop
	area.FillText(style, vg.Point{X: area.Min.X, Y: area.Max.Y}, c.Title)
	used := vg.Length(26)
	if len(c.Legend) > 0 {
		style = sans(11)
		style.YAlign = draw.YTop
		x, y := area.Min.X, area.Max.Y-used
		for _, e := range c.Legend {
			fill, _ := parseColor(e.Color) // shown in the wrong colour at worst
			box(area, fill, x, y-10, x+10, y)
			area.FillText(style, vg.Point{X: x + 15, Y: y}, e.Text)
			x += 15 + style.Width(e.Text) + 18
		}
		used += 18
	}
	return draw.Crop(area, 0, 0, 0, -used)
}

func box(c draw.Canvas, fill color.Color, x0, y0, x1, y1 vg.Length) {
	c.FillPolygon(fill, []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
}

// bars draws itself into a plot.
type bars struct{ Chart }

// Plot implements plot.Plotter.
func (b *bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	grid := draw.LineStyle{Color: pale, Width: 0.5}
	for _, tick := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		if tick.Label != "" {
			c.StrokeLine2(grid, x(tick.Value), c.Min.Y, x(tick.Value), c.Max.Y)
		}
	}
	b.mark(c, x)
	for i, row := range b.Rows {
		top, _ := b.extent(i)
		for j, bar := range row.Bars {
			high, low := y(top-float64(j*barHeight)-1.5), y(top-float64((j+1)*barHeight)+1.5)
			b.bar(c, x, bar, low, high)
		}
	}
}

// mark draws the line of the mark, under the bars.
func (b *bars) mark(c draw.Canvas, x func(float64) vg.Length) {
	if b.Mark == 0 {
		return
	}
	style := sans(10)
	style.Color = color.RGBA{0xcf, 0x22, 0x2e, 0xff}
	line := draw.LineStyle{Color: style.Color, Width: 1, Dashes: []vg.Length{4, 3}}
	c.StrokeLine2(line, x(b.Mark), c.Min.Y, x(b.Mark), c.Max.Y)
	c.FillText(style, vg.Point{X: x(b.Mark) + 4, Y: c.Max.Y - 9}, b.MarkText)
}

// bar draws one bar and its number.
func (b *bars) bar(c draw.Canvas, x func(float64) vg.Length, bar Bar, low, high vg.Length) {
	limit := b.Limit
	if limit == 0 {
		limit = math.Inf(1)
	}
	from := 0.0
	for _, part := range bar.Parts {
		fill, _ := parseColor(part.Color) // checked before
		box(c, fill, x(min(from, limit)), low, x(min(from+part.Value, limit)), high)
		from += part.Value
	}
	end, middle := min(from, limit), (low+high)/2
	if bar.High > 0 && bar.High < limit {
		c.StrokeLine2(draw.LineStyle{Color: ink, Width: 1}, x(bar.Low), middle, x(bar.High), middle)
		end = max(end, bar.High)
	}
	if b.Format == "" {
		return
	}
	number := fmt.Sprintf(b.Format, from)
	if from > limit {
		number = "→ " + number
	}
	style := sans(10)
	style.YAlign = draw.YCenter
	at := vg.Point{X: x(end) + 5, Y: middle + 0.8}
	box(c, back, at.X-1, low, at.X+style.Width(number)+1, high) // over lines
	c.FillText(style, at, number)
}

func parseColor(s string) (color.Color, error) {
	n, err := strconv.ParseUint(regexp.MustCompile(`^#([0-9a-fA-F]{6})$`).ReplaceAllString(s, "$1"), 16, 32)
	if err != nil {
		return ink, fmt.Errorf("%q is not a colour such as #1f6feb", s)
	}
	return color.RGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 0xff}, nil
}

// families names fonts that every system has, for where Liberation is missing.
var families = regexp.MustCompile(`font-family:[^;"]*`)

// portable lets the file look the same wherever it is shown.
func portable(svg []byte) []byte {
	return families.ReplaceAll(svg, []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif"))
}
