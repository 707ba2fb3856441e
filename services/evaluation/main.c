// evaluation: the process. See evaluation.h for what it is for.
#include "evaluation.h"

int main(int argc, char **argv)
{
    return service_main(&evaluation_service, argc, argv);
}
