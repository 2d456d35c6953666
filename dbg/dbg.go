package dbg
import ("fmt";"os";"time";"sync";"bufio")
var mu sync.Mutex
var w *bufio.Writer
func init(){ if d:=os.Getenv("CAIRN_TL");d!=""{f,_:=os.Create(fmt.Sprintf("%s/tl.%d",d,os.Getpid()));w=bufio.NewWriterSize(f,1<<20);go func(){for{time.Sleep(time.Second);mu.Lock();w.Flush();mu.Unlock()}}()}}
func Log(what string,round any){ if w==nil{return};t:=time.Now().UnixMicro();mu.Lock();fmt.Fprintf(w,"%d %d %s %v\n",t,os.Getpid(),what,round);mu.Unlock()}
